# SPDX-License-Identifier: Apache-2.0
"""What a person changes of an asset by hand, field by field, and takes back; assets that they add or retire."""
