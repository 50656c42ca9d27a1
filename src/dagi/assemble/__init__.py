"""The one composition root: settings become objects here, and nowhere else. Only this room knows concrete classes.

| file | what it puts together |
| --- | --- |
| `installation` | configuration, data directory and database of one installation |
| `providers` | providers of the configuration, found by entry point, wrapped for resilience |
| `front` | the process that answers: router, its face and its server |
| `embedder` | the process that searches by meaning |
| `demo` | the demo DAO of an empty development installation |
| `start` | what has to be true before processes start |
"""
