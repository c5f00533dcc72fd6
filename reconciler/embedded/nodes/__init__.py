"""The nodes of the embedded cluster: what makes Pods live.

``node`` holds what both share (the life of a Pod, as a kubelet reports it); ``virtual`` lets Pods
live by programs on a virtual clock; ``process`` runs containers as local processes.
"""
