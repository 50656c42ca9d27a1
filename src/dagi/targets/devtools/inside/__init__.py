"""What runs in the sandbox, mounted there read-only as `/opt/dagi/inside`.

These files are started by their path, by the sandbox's Python. They import one another by their bare names, which begin with `dagi_` so
that nothing in a workspace has the same; nothing of `dagi` itself is there. What they tell is written in the same process as code of
others, which may write the like, so whoever reads it believes none of it.
"""
