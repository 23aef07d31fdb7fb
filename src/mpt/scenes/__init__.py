"""Made-up photographs with exact truth: bodies dressed, posed, lit and photographed by this program.

They stand in for photos that may not be shared: the demo and the documentation show them, and a benchmark
knows their meshes to the last vertex. No real person or place is in them.
"""

from mpt.scenes.casting import demo_scenes, random_scene
from mpt.scenes.hands import HandScene, demo_hands, hand_scene
from mpt.scenes.people import Outfit, random_outfit
from mpt.scenes.photograph import Actor, Scene, Shot, Subject, photograph

__all__ = [
    "Actor",
    "HandScene",
    "Outfit",
    "Scene",
    "Shot",
    "Subject",
    "demo_hands",
    "demo_scenes",
    "hand_scene",
    "photograph",
    "random_outfit",
    "random_scene",
]
