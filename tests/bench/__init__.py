"""mailfs measured side by side with mbsync, ext4 and a bare IMAP client: see README.md."""
