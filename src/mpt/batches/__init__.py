"""Many photos and films: folders of them, what is done of them already, and engines that spread them."""
