"""The service: verdicts over HTTP or for a watched folder, stored before they are answered."""
