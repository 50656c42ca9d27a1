"""Model providers, one small file a kind; each exports `provider`."""
