"""What DeepSpeed makes of small updates in half precision, on a network of two layers."""

import json
import subprocess
import sys

import pytest

# DeepSpeed is set up once a process, so this has one of its own. The float32 copies are asked for
# as its users do; at stage 0 they are the optimiser's own parameters.
SCRIPT = """
import json, os
os.environ.update(DS_ACCELERATOR="cpu", RANK="0", LOCAL_RANK="0", WORLD_SIZE="1")
os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="29611")
import torch
from mssr_rl.engine.openrlhf import cpu
cpu.install()
import deepspeed
from deepspeed.utils import safe_get_full_fp32_param
from openrlhf.utils.deepspeed.deepspeed_utils import get_train_ds_config
from mssr_rl.config.compose import load
from mssr_rl.engine.openrlhf.arguments import table

def share_moved(before, after):
    return (before != after).float().mean().item()

def flat(tensors):
    return torch.cat([t.detach().flatten().clone() for t in tensors])

def one_update(stage):
    words = ["engine=openrlhf", "engine.dtype=bfloat16", f"cluster.zero_stage={stage}"]
    ours = table(load(words))
    adam = {"lr": 1e-6, "weight_decay": 0.0, "torch_adam": True}
    settings = get_train_ds_config(
        False, adam_offload=False, stage=ours["ds.zero_stage"], param_dtype=ours["ds.param_dtype"],
        zpg=ours["ds.zpg"], grad_accum_dtype=ours["ds.grad_accum_dtype"],
        optim_config={"type": "AdamW", "params": adam},
    )
    zero = {k: v for k, v in settings["zero_optimization"].items() if v != "auto"}
    settings |= {"zero_optimization": zero, "train_batch_size": 1}
    net = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.Linear(64, 64)).bfloat16()
    weights = list(net.parameters())
    before = flat(weights)
    engine, optimiser, _, _ = deepspeed.initialize(
        model=net, config=settings, model_parameters=weights
    )
    own = [p for group in optimiser.param_groups for p in group["params"]]
    copies = lambda: flat([safe_get_full_fp32_param(w) for w in weights] if stage else own)
    first = copies()
    engine.backward((engine(torch.randn(8, 64).bfloat16()).float() ** 2).sum())
    engine.step()
    with deepspeed.zero.GatheredParameters(weights, enabled=stage == 3):
        rounded = share_moved(before, flat(weights))
    return {"copy": str(first.dtype), "moved": share_moved(first, copies()), "rounded": rounded}

deepspeed.init_distributed("gloo")
torch.manual_seed(0)
print("RESULT", json.dumps([one_update(stage) for stage in range(4)]))
"""


@pytest.mark.cluster
def test_a_float32_copy_takes_every_small_update_that_half_precision_weights_would_lose() -> None:
    pytest.importorskip("deepspeed")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=180, check=False
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT")]
    assert lines, done.stderr[-2000:]
    by_stage = json.loads(lines[0].removeprefix("RESULT"))
    assert len(by_stage) == 4
    for found in by_stage:
        assert found["copy"] == "torch.float32"
        assert found["moved"] == 1.0  # at a rate at which ...
        assert found["rounded"] < 0.05  # ... hardly any rounded weight moves in one update
