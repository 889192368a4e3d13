"""The engine on a cluster: OpenRLHF's actor groups, DeepSpeed, vLLM, and Ray to place them.

The only package that imports ray, vllm, deepspeed or openrlhf. What does not need them stands
apart, so that a plan and the doctor work without:

    lora.py        LoRA's matrices added to the weights
    placement.py   how many processes of which kind, on which bundles
    arguments.py   our config as OpenRLHF's options, one table
    package_versions.py  which versions fit together, and whether these are here
    shards.py      a batch cut up for the ranks that train on it
    sequences.py   rollouts as left-padded prompts with their responses behind
    cpu.py         what must change where there is no GPU; startup/ brings it to every process

    session.py     Ray, joined or started
    dead_actors.py waiting for processes, and which one died
    strategy.py    DeepSpeed as OpenRLHF sets it up, with our optimiser
    actors.py      the processes that train, and those that hold the reference
    rollout.py     the processes that sample; agent.py is what OpenRLHF's executor seam loads,
                   receiver.py what takes new weights inside vLLM
    engine.py      the protocol over all of them
"""
