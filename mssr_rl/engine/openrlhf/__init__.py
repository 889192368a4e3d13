"""The cluster engine: OpenRLHF's actor groups, DeepSpeed and vLLM, in processes that Ray starts.

Only this package imports ray, vllm, deepspeed or openrlhf. These modules do not import them, so
`--plan` and the doctor work without them:

    placement.py         how many processes of each kind there are, and on which bundles
    arguments.py         our config as OpenRLHF's options, in one table
    package_versions.py  which versions fit together, and which are installed
    shards.py            cuts a batch into parts for the training ranks
    cpu.py               changes for machines without a GPU; startup/ brings it to every process

These modules import them:

    session.py           joins or starts Ray
    dead_actors.py       waits for the results of processes, and reports a process that died
    strategy.py          OpenRLHF's DeepSpeed setup, with our optimiser
    actors.py            the training processes, and those that hold the reference
    rollout.py           the sampling processes; OpenRLHF loads agent.py into them, and vLLM
                         loads receiver.py to take new weights
    engine.py            the engine protocol over all of them
"""
