# SPDX-License-Identifier: Apache-2.0
"""NetBox asked for what its webhooks did not tell: its change log again and again, and now and then all of it."""
