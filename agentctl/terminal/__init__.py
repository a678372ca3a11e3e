"""What all commands share: the parser, the narrator and the live view, manual pages, files of the package."""
