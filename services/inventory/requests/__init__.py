# SPDX-License-Identifier: Apache-2.0
"""What waits for a second person where the profile asks for one: asked, approved or refused by another, withdrawn."""
