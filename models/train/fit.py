"""The one training loop: AdamW, one cycle of the learning rate, an average of the weights over time, bfloat16 where the processor has it."""

import copy
import os
import time

import torch

# On a machine that others use too, one thread waits for nobody.
torch.set_num_threads(int(os.environ.get("TRAIN_THREADS", "2")))


def fit(model, count, batch_of, loss_of, *, epochs, rate, trunk_rate=None, batch=32, decay=0.02, seed=0, keep=0.99, log=""):
    """Trains `model` on `count` samples and returns the averaged weights in evaluation mode.

    `batch_of(indices, generator)` gives inputs and targets, `loss_of(outputs, targets)` a scalar; `trunk_rate` is the rate of `model.trunk`.
    """
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model = model.to(memory_format=torch.channels_last).train()
    trunk = [p for p in model.trunk.parameters() if p.requires_grad] if hasattr(model, "trunk") else []
    inside = {id(p) for p in model.trunk.parameters()} if trunk else set()
    groups = [{"params": [p for p in model.parameters() if id(p) not in inside]}]
    rates = [rate]
    if trunk:
        groups.append({"params": trunk})
        rates.append(trunk_rate or rate)
    optimiser = torch.optim.AdamW(groups, lr=rate, weight_decay=decay)
    steps = epochs * (count // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rates, total_steps=steps, pct_start=0.15)
    average, step, started = copy.deepcopy(model), 0, time.time()
    for epoch in range(epochs):
        order, total = torch.randperm(count, generator=generator), 0.0
        for i in range(count // batch):
            inputs, targets = batch_of(order[i * batch : (i + 1) * batch], generator)
            with torch.autocast("cpu", torch.bfloat16):
                outputs = model(inputs.to(memory_format=torch.channels_last))
            loss = loss_of(outputs, targets)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimiser.step()
            schedule.step()
            step += 1
            total += loss.item()
            share = min(keep, step / (step + 10))
            with torch.no_grad():
                for kept, now in zip(average.state_dict().values(), model.state_dict().values()):
                    kept.lerp_(now, 1 - share) if kept.is_floating_point() else kept.copy_(now)
        print(f"{log} epoch {epoch + 1}/{epochs} loss {total / (count // batch):.4f} {time.time() - started:.0f} s", flush=True)
    return average.eval()


@torch.no_grad()
def predict(model, inputs, batch=32):
    """Outputs for a tensor of inputs, in float32 and in order."""
    parts = [model(inputs[i : i + batch].to(memory_format=torch.channels_last)) for i in range(0, len(inputs), batch)]
    return [torch.cat(part) for part in zip(*parts)] if isinstance(parts[0], tuple) else torch.cat(parts)


class Late(torch.nn.Module):
    """The part of a network that is trained: it takes what the frozen blocks of `net.trunk` saw; `net.read` takes what the trunk gives."""

    def __init__(self, net):
        super().__init__()
        self.net, self.trunk = net, net.trunk

    def forward(self, x):
        return self.net.read(self.trunk.late(x))


def fit_late(net, kept, chosen, target_of, loss_of, **options):
    """Trains `net` on the chosen images; each time one of the kept versions of an image is drawn. `target_of(version, rows)` gives the targets."""
    chosen = torch.tensor(chosen)

    def batch_of(indices, generator):
        rows = chosen[indices]
        version = torch.randint(len(kept), (len(rows),), generator=generator)
        return kept[version, rows].float(), target_of(version, rows)

    return fit(Late(net), len(chosen), batch_of, loss_of, **options).net
