"""``mpt serve``: a page on one's own computer, where photos and films become 3D bodies.

The page is gradio's, which comes with ``pip install 'mesh-pretraining[web]'``; no other host is asked for
anything. What stands behind it, ``uploads``, ``photos`` and ``filmed``, needs no gradio.
"""
