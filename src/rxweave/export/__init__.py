"""What a finished run found, in the formats of other tools."""
