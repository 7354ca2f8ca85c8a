"""From small results in memory to one self-contained HTML page. Nothing here reads collections or knows of Dask."""
