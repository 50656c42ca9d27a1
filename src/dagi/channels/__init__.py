"""Where people speak: platforms' updates become questions, answers become what each platform renders. Parsers and renderers never await."""
