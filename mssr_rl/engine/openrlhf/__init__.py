"""The cluster engine: OpenRLHF's actor groups, DeepSpeed, and vLLM, placed by Ray.

This is the only package that imports ray, vllm, deepspeed or openrlhf. These modules do not need
them, so that `--plan` and the doctor work without:

    lora.py              adds LoRA's matrices to the weights
    placement.py         how many processes of each kind there are, and on which bundles
    arguments.py         our config as OpenRLHF's options, in one table
    package_versions.py  which versions fit together, and which are installed
    shards.py            cuts a batch into parts for the training ranks
    cpu.py               changes for machines without a GPU; startup/ brings it to every process

These need them:

    session.py           joins or starts Ray
    dead_actors.py       waits for processes, and says which one died
    strategy.py          OpenRLHF's DeepSpeed setup, with our optimiser
    actors.py            the training processes, and those that hold the reference
    rollout.py           the sampling processes; OpenRLHF loads agent.py into them, and vLLM
                         loads receiver.py to take new weights
    engine.py            the engine protocol over all of them
"""
