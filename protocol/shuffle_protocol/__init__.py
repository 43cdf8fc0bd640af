"""What operator and worker both speak. It knows neither, and does no I/O.

messages   what workers and coordinator say to each other; runs: sets of numbers in it; findings: of `shuffle doctor`
wire       how a message is a body of HTTP: names of headers, compression, versions
frames     what workers send their peers; shards: what is in them; checksum; acks: the receiver's answer
connections  how many connections a server takes, unauthenticated ones above all; tls: names in certificates
errors     what can go wrong, as one tree; crashes, trail: how a process died, and which files it had in hand
memory     the budgets of a worker; units: bytes, times and counts for people
formats    formats of files and what they are called; type_syntax, type_words, names: of columns
logs       logs as JSON
"""
