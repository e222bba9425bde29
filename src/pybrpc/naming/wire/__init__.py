"""How naming services are spoken to. These modules know no threads and no lists of servers."""
