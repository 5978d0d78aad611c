from benchmarks.report import Section
def endpoint(plan): return Section("http","HTTP",missing=["soon"])
