# SPDX-License-Identifier: Apache-2.0
"""What could not be taken, for the people who decide what becomes of it."""
