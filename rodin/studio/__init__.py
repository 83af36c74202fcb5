"""The studio: avatars drawn in a browser, and over HTTP, by whoever is let in."""
