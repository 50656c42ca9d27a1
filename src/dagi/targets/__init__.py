"""Who answers: models, devtools, crews. Each is a Target; wrappers around them are Targets too."""
