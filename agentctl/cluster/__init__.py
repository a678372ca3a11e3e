"""Gates and sessions on the workers of a Dask cluster: where they run, and nothing else, is decided here.

The cluster holds no truth. What a station sends is an order (`orders.py`), what comes back is what the same run would have
returned here, and all that counts is in refs of the hub.
"""
