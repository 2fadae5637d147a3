"""The Python face: what scripts and notebooks call, each with its help. `import vmdedup` has all of it."""
