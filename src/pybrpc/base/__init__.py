"""The ground floor: atomics, deadlines, addresses, versioned ids. Imports only errors."""
