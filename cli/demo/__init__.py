# SPDX-License-Identifier: Apache-2.0
"""`daicho demo`: the main job from end to end, on an instance of its own and the samples of a made-up city."""
