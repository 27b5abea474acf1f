"""Metal-organic frameworks: bonds, building blocks, coarse-grained MOFs, fragmentation and assembly."""
