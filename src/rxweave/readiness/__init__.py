"""Before the full run: is this machine ready for it, is this graph, how long will it take, and on which device."""
