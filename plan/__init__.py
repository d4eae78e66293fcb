"""What a run will take, before it is started: `crawl2chat plan` (docs/plan.md).

measure.py, sampling.py, watch.py    a run of the recipe on a small sample of its sources
run_profile.py, timing.py, fitted.py, training_profile.py    what a finished run says of its passes and trainings
profile_file.py    all of it as profile.json
source_bytes.py, corpus.py    how much of everything the recipe's sources will give
passes.py, loads.py, pass_model.py, task_queue.py, cluster.py    each pass of the data stages on a cluster
training.py, forecast.py, misfits.py, prices.py, table.py    all stages: time, memory, disk, money, what does not fit
"""
