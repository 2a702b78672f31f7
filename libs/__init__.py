# SPDX-License-Identifier: Apache-2.0
"""What the services share; nothing here imports a service."""
