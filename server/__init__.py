"""The language server: what editors show of a spec while it is written (`weft lsp`).

`language_server.py` speaks the protocol; the other files each answer one question and know nothing
of connections: `analysis` (a text to what is known about it), `cursor` (what stands at a place of a
half-typed text), and one file a feature.
"""
