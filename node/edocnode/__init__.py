"""One agency's node: keeps, seals, delivers and receives documents.

Direction of imports: domain <- settings <- workers | rpc | storage | evidence <- app <- cli.
"""
