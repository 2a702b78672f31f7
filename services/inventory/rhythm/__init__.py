# SPDX-License-Identifier: Apache-2.0
"""The rhythm of feeds: one that is not heard of for longer than it declares is a finding."""
