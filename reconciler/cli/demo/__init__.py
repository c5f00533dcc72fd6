"""``tandem demo``: a real batch backup on this machine, from nothing to a proven restore.

``command`` is the command line, ``story`` the steps, ``application`` the manifests beside this
file, ``evidence`` what shows that it worked, ``progress`` how it is told, and ``stage`` what they
all stand on.
"""
