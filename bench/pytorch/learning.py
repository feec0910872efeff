"""The learner step and acting of this project's Q-networks in PyTorch, for comparison.

    python3 bench/pytorch/learning.py                       every case with one thread, as JSON lines
    python3 bench/pytorch/learning.py --threads 2 learn/gru/1000 act/gru/1000
    python3 bench/pytorch/learning.py --rows learn/gru/1000 values of single actions from their rows of the head
    python3 bench/pytorch/learning.py --check               incremental acting equals the full forward, and so on

A case is `learn/NETWORK/VOCABULARY` (one update of double DQN on 64 windows of 32 steps; milliseconds an update) or
`act/NETWORK/VOCABULARY` (the values of all actions for 32 texts that grow token by token to 32 tokens; milliseconds for
all of it). The shapes are those of crates/dqn-train/benches/shapes. README.md says what was chosen, and why.
"""

import argparse
import copy
import json
import math
import platform
import statistics
import sys
import time

try:
    import torch
except ImportError as error:
    print(f"error: PyTorch cannot be imported ({error})", file=sys.stderr)
    print("install what bench/pytorch/requirements.txt names", file=sys.stderr)
    sys.exit(2)

import torch.nn.functional as F
from torch import nn

BATCH, ACTING_BATCH, STEPS = 64, 32, 32
VOCABULARIES = (1_000, 8_000)
EMBEDDING = 64
DISCOUNT, REWARD, LEARNING_RATE, MAX_NORM, TARGET_EVERY = 0.99, 0.1, 1e-3, 10.0, 100
# Ids below are special tokens; 0 is <pad> and 2 begins a text.
FIRST_WORD, BEGIN = 4, 2


class Mlp(nn.Module):
    """Rectified layers over the last 16 tokens; what lies before the text is <pad>."""

    width, window = 256, 16

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(self.window * EMBEDDING, self.width), nn.ReLU(), nn.Linear(self.width, self.width), nn.ReLU()
        )

    def forward(self, embedding, tokens):
        windows = F.pad(tokens, (self.window - 1, 0)).unfold(1, self.window, 1)
        return self.layers(embedding(windows).flatten(2))

    def start(self, embedding, n_texts, n_tokens):
        return torch.zeros(n_texts, self.window + n_tokens, dtype=torch.long)

    def step(self, embedding, tokens, text, place):
        text[:, self.window + place] = tokens
        return self.layers(embedding(text[:, place + 1 : place + 1 + self.window]).flatten(1))


class Gru(nn.Module):
    """A gated recurrent unit over the whole text."""

    width = 256

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(EMBEDDING, self.width, batch_first=True)

    def forward(self, embedding, tokens):
        return self.gru(embedding(tokens))[0]

    def start(self, embedding, n_texts, n_tokens):
        return [torch.zeros(n_texts, self.width)]

    def step(self, embedding, tokens, state, place):
        gru = self.gru
        weights = gru.weight_ih_l0, gru.weight_hh_l0, gru.bias_ih_l0, gru.bias_hh_l0
        state[0] = torch.gru_cell(embedding(tokens), state[0], *weights)
        return state[0]


class Lstm(nn.Module):
    """A long short-term memory over the whole text."""

    width = 256

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(EMBEDDING, self.width, batch_first=True)

    def forward(self, embedding, tokens):
        return self.lstm(embedding(tokens))[0]

    def start(self, embedding, n_texts, n_tokens):
        return [torch.zeros(n_texts, self.width), torch.zeros(n_texts, self.width)]

    def step(self, embedding, tokens, state, place):
        lstm = self.lstm
        weights = lstm.weight_ih_l0, lstm.weight_hh_l0, lstm.bias_ih_l0, lstm.bias_hh_l0
        state[:] = torch.lstm_cell(embedding(tokens), state, *weights)
        return state[0]


class Cnn(nn.Module):
    """Dilated causal convolutions with residual connections; what lies before the text is zero."""

    width, kernel, n_layers = 256, 3, 4

    def __init__(self):
        super().__init__()
        self.input = nn.Linear(EMBEDDING, self.width)
        # Each reads the vectors at its taps side by side. A product of matrices is as fast as nn.Conv1d when learning,
        # and faster when acting.
        self.layers = nn.ModuleList(nn.Linear(self.kernel * self.width, self.width) for _ in range(self.n_layers))

    def reach(self, layer):
        return (self.kernel - 1) << layer

    def forward(self, embedding, tokens):
        time = tokens.shape[1]
        below = self.input(embedding(tokens))
        for index, layer in enumerate(self.layers):
            padded = F.pad(below, (0, 0, self.reach(index), 0))
            taps = torch.cat([padded[:, tap << index : (tap << index) + time] for tap in range(self.kernel)], 2)
            below = below + F.relu(layer(taps))
        return below

    def start(self, embedding, n_texts, n_tokens):
        return [torch.zeros(n_texts, self.reach(index) + n_tokens, self.width) for index in range(self.n_layers)]

    def step(self, embedding, tokens, history, place):
        below = self.input(embedding(tokens))
        for index, layer in enumerate(self.layers):
            last = place + self.reach(index)
            history[index][:, last] = below
            below = below + F.relu(layer(history[index][:, place : last + 1 : 1 << index].flatten(1)))
        return below


class Transformer(nn.Module):
    """Blocks of causal self-attention, normalised before each part, with rotary positions."""

    width, n_heads, n_layers, expansion = 128, 4, 2, 4
    head_width = width // n_heads

    class Block(nn.Module):
        def __init__(self, width, expansion):
            super().__init__()
            self.attention_norm, self.hidden_norm = nn.LayerNorm(width), nn.LayerNorm(width)
            self.query_key_value, self.output = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.up, self.down = nn.Linear(width, expansion * width), nn.Linear(expansion * width, width)

    def __init__(self):
        super().__init__()
        self.input = nn.Linear(EMBEDDING, self.width)
        self.blocks = nn.ModuleList(self.Block(self.width, self.expansion) for _ in range(self.n_layers))
        self.norm = nn.LayerNorm(self.width)
        half = self.head_width // 2
        speeds = torch.exp(torch.arange(half) * (-math.log(10_000.0) / half))
        angles = torch.arange(STEPS + 1).unsqueeze(1) * speeds
        self.register_buffer("cosine", torch.cat([angles.cos(), angles.cos()], 1))
        self.register_buffer("sine", torch.cat([-angles.sin(), angles.sin()], 1))

    def heads(self, block, rows, first):
        """Queries, keys and values, `[batch, heads, time, head_width]`, the first two turned by their places."""
        batch, time, _ = rows.shape
        parts = block.query_key_value(block.attention_norm(rows)).view(batch, time, 3, self.n_heads, self.head_width)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        cosine, sine = self.cosine[first : first + time], self.sine[first : first + time]

        def turned(part):
            return part * cosine + part.roll(self.head_width // 2, 3) * sine

        return turned(query), turned(key), value

    def finish(self, block, rows, attended):
        rows = rows + block.output(attended.transpose(1, 2).flatten(2))
        return rows + block.down(F.gelu(block.up(block.hidden_norm(rows))))

    def forward(self, embedding, tokens):
        rows = self.input(embedding(tokens))
        for block in self.blocks:
            query, key, value = self.heads(block, rows, 0)
            rows = self.finish(block, rows, F.scaled_dot_product_attention(query, key, value, is_causal=True))
        return self.norm(rows)

    def start(self, embedding, n_texts, n_tokens):
        return torch.zeros(self.n_layers, 2, n_texts, self.n_heads, n_tokens, self.head_width)

    def step(self, embedding, tokens, cache, place):
        rows = self.input(embedding(tokens)).unsqueeze(1)
        for block, (keys, values) in zip(self.blocks, cache):
            query, key, value = self.heads(block, rows, place)
            keys[:, :, place : place + 1], values[:, :, place : place + 1] = key, value
            keys_so_far, values_so_far = keys[:, :, : place + 1], values[:, :, : place + 1]
            rows = self.finish(block, rows, F.scaled_dot_product_attention(query, keys_so_far, values_so_far))
        return self.norm(rows).squeeze(1)


TORSOS = {"mlp": Mlp, "gru": Gru, "lstm": Lstm, "cnn": Cnn, "transformer": Transformer}


class QNetwork(nn.Module):
    """Embedding, torso, and one value for each action."""

    def __init__(self, torso, vocabulary):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, EMBEDDING)
        self.torso = TORSOS[torso]()
        self.head = nn.Linear(self.torso.width, vocabulary)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)

    def features(self, tokens):
        """`[batch, time]` to `[batch, time, width]`."""
        return self.torso(self.embedding, tokens)

    def q_taken(self, features, actions):
        """Values of one action in each state, from the rows of the head that belong to them."""
        rows = F.embedding(actions, self.head.weight)
        return (features * rows).sum(-1) + self.head.bias[actions]

    def start(self, n_texts, n_tokens):
        return self.torso.start(self.embedding, n_texts, n_tokens)

    def step(self, tokens, state, place):
        """Values of all actions, `[batch, vocabulary]`, after one more token of each text."""
        return self.head(self.torso.step(self.embedding, tokens, state, place))


class Learner:
    """Double DQN with the Huber loss, Adam and a clipped gradient, learning at all positions of a window."""

    def __init__(self, network, compiled, from_rows):
        self.online, self.target = network, copy.deepcopy(network)
        self.optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE, fused=True)
        loss = self.td_loss_from_rows if from_rows else self.td_loss
        self.loss = torch.compile(loss) if compiled else loss
        self.n_updates = 0

    def td_loss(self, tokens, actions, rewards, discounts):
        """As it is usually written: single values are gathered from those of all actions."""
        values = self.online.head(self.online.features(tokens))
        with torch.no_grad():
            best = values[:, 1:].argmax(-1, keepdim=True)
            next_values = self.target.head(self.target.features(tokens)[:, 1:]).gather(-1, best).squeeze(-1)
            targets = rewards + discounts * next_values
        taken = values[:, :-1].gather(-1, actions.unsqueeze(-1)).squeeze(-1)
        return F.huber_loss(taken, targets, delta=1.0)

    def td_loss_from_rows(self, tokens, actions, rewards, discounts):
        """The same, with the values of single actions from their rows of the output layer."""
        features = self.online.features(tokens)
        with torch.no_grad():
            best = self.online.head(features[:, 1:]).argmax(-1)
            next_values = self.target.q_taken(self.target.features(tokens)[:, 1:], best)
            targets = rewards + discounts * next_values
        return F.huber_loss(self.online.q_taken(features[:, :-1], actions), targets, delta=1.0)

    def update(self, batch):
        loss = self.loss(*batch)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.online.parameters(), MAX_NORM)
        self.optimizer.step()
        self.n_updates += 1
        if self.n_updates % TARGET_EVERY == 0:
            self.target.load_state_dict(self.online.state_dict())
        return loss.item()


def batch_of_windows(vocabulary):
    """Tokens `[batch, steps + 1]`; actions, rewards and discounts `[batch, steps]`, where the last step ends a text."""
    actions = torch.randint(FIRST_WORD, vocabulary, (BATCH, STEPS))
    tokens = torch.cat([torch.full((BATCH, 1), BEGIN), actions], 1)
    discounts = torch.full((BATCH, STEPS), DISCOUNT)
    discounts[:, -1] = 0.0
    return tokens, actions, torch.full((BATCH, STEPS), REWARD), discounts


@torch.inference_mode()
def act(network, texts):
    """Values of all actions after every token of `texts`, `[batch, time]`, each token read once."""
    state = network.start(*texts.shape)
    return [network.step(texts[:, place], state, place) for place in range(texts.shape[1])]


def routine(case, compiled, from_rows):
    """What is timed in `case`, and the transitions of one run of it."""
    verb, torso, vocabulary = case.split("/")
    torch.manual_seed(1)
    network = QNetwork(torso, int(vocabulary))
    if verb == "learn":
        learner, batch = Learner(network, compiled, from_rows), batch_of_windows(int(vocabulary))
        return lambda: learner.update(batch), BATCH * STEPS
    texts = torch.randint(FIRST_WORD, int(vocabulary), (ACTING_BATCH, STEPS))
    return lambda: act(network, texts), ACTING_BATCH * STEPS


def median_seconds(run, budget_seconds):
    """Median of as many runs as the budget holds, at least five, after a fifth of the budget to warm up."""
    n_warm, begin = 0, time.perf_counter()
    while n_warm < 2 or time.perf_counter() - begin < budget_seconds / 5:
        run()
        n_warm += 1
    durations, begin = [], time.perf_counter()
    while len(durations) < 5 or time.perf_counter() - begin < budget_seconds:
        before = time.perf_counter()
        run()
        durations.append(time.perf_counter() - before)
    return statistics.median(durations)


def check():
    """Compares incremental acting with one forward over the whole text, and the two ways to the loss."""
    torch.manual_seed(2)
    worst = 0.0
    for torso in TORSOS:
        network = QNetwork(torso, 50)
        nn.init.normal_(network.head.weight, std=0.1)
        texts = torch.randint(FIRST_WORD, 50, (3, STEPS))
        with torch.inference_mode():
            whole = network.head(network.features(texts))
        difference = (torch.stack(act(network, texts), 1) - whole).abs().max().item()
        worst = max(worst, difference)
        print(f"{torso}: largest difference {difference:.1e} among values up to {whole.abs().max().item():.1f}")
        learner, batch = Learner(network, False, False), batch_of_windows(50)
        losses = [loss(*batch).item() for loss in (learner.td_loss, learner.td_loss_from_rows)]
        worst = max(worst, abs(losses[0] - losses[1]))
        print(f"{torso}: loss {losses[0]:.6f}, from rows {losses[1]:.6f}")
    return 0 if worst <= 1e-5 else 1


def main():
    cases = [f"{verb}/{torso}/{size}" for verb in ("learn", "act") for torso in TORSOS for size in VOCABULARIES]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", help="cases to run; all of them where none is named")
    parser.add_argument("--threads", type=int, default=1, help="threads of PyTorch (default 1)")
    parser.add_argument("--seconds", type=float, default=3.0, help="time to measure each case for (default 3)")
    parser.add_argument("--rows", action="store_true", help="take values of single actions from their rows of the head")
    parser.add_argument("--compile", action="store_true", help="compile the loss of the learner step")
    parser.add_argument("--check", action="store_true", help="compare what must be equal instead")
    parser.add_argument("--versions", action="store_true", help="print the versions in use instead")
    arguments = parser.parse_args()
    unknown = [case for case in arguments.cases if case not in cases]
    if unknown:
        parser.error(f"no case {', '.join(unknown)}; there are {', '.join(cases)}")
    torch.set_num_threads(arguments.threads)
    if arguments.check:
        return check()
    if arguments.versions:
        print(json.dumps({"torch": torch.__version__, "python": platform.python_version()}))
        return 0
    for case in arguments.cases or cases:
        run, n_transitions = routine(case, arguments.compile, arguments.rows)
        seconds = median_seconds(run, arguments.seconds)
        figures = {
            "case": case,
            "milliseconds": round(1e3 * seconds, 4),
            "threads": arguments.threads,
            "transitions_per_second": round(n_transitions / seconds, 1),
        }
        print(json.dumps(figures), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
