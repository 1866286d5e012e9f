"""The same decoder, loss and optimiser in PyTorch, as its users would write them.

Weights come from ours, so that both sides must show the same loss after the same steps: a peer
that computes something else would not be one. Importing this file needs PyTorch.
"""

import dataclasses

import numpy as np
import torch
from torch.nn import functional

__all__ = ["Peer"]


class Decoder(torch.nn.Module):
    """Pre-norm decoder with fused attention; see t2jax.trainer.model for the architecture.

    Args:
      config: shape of the model, a t2jax.trainer.config.ModelConfig.
      params: its parameters, as t2jax holds them.
    """

    def __init__(self, config, params):
        super().__init__()
        self.config = config

        def own(leaf):
            return torch.nn.Parameter(torch.from_numpy(np.array(leaf)))

        blocks = params["blocks"]
        self.blocks = torch.nn.ModuleList(
            torch.nn.ParameterDict({name: own(leaf[layer]) for name, leaf in blocks.items()})
            for layer in range(config.n_layers)
        )
        self.embedding = own(params["embedding"])
        self.final_norm = own(params["final_norm"])
        self.head = own(params["head"])
        half = config.head_width // 2
        frequencies = config.rope_theta ** (-torch.arange(half) / half)
        angles = torch.arange(config.seq_len)[:, None] * frequencies
        self.register_buffer("cosines", torch.cos(angles))
        self.register_buffer("sines", torch.sin(angles))

    def rotate(self, x):
        first, second = x.chunk(2, dim=-1)
        turned = (
            first * self.cosines - second * self.sines,
            second * self.cosines + first * self.sines,
        )
        return torch.cat(turned, dim=-1)

    def forward(self, tokens, visible):
        """Logits, from tokens and the mask of what each place sees."""
        rows, length = tokens.shape
        width, head_width = self.config.d_model, self.config.head_width
        x = functional.embedding(tokens, self.embedding)
        for block in self.blocks:
            inner = functional.rms_norm(x, (width,), block["attention_norm"], 1e-6)
            inner = (inner @ block["qkv"]).view(rows, length, 3, -1, head_width)
            query, key, value = inner.permute(2, 0, 3, 1, 4)
            query = functional.rms_norm(query, (head_width,), block["query_norm"], 1e-6)
            key = functional.rms_norm(key, (head_width,), block["key_norm"], 1e-6)
            mixed = functional.scaled_dot_product_attention(
                self.rotate(query), self.rotate(key), value, attn_mask=visible
            )
            x = x + mixed.transpose(1, 2).reshape(rows, length, width) @ block["out"]
            inner = functional.rms_norm(x, (width,), block["mlp_norm"], 1e-6) @ block["up"]
            x = x + functional.relu(inner).square() @ block["down"]
        return functional.rms_norm(x, (width,), self.final_norm, 1e-6) @ self.head


@dataclasses.dataclass(kw_only=True)
class Peer:
    """A model with its optimiser.

    Args:
      config: shape of the model.
      params: initial parameters, as t2jax holds them.
      learning_rate: of AdamW.
      compiled: whether `torch.compile` makes the program.
    """

    config: object
    params: dict
    learning_rate: float
    compiled: bool = False

    def __post_init__(self):
        self.model = Decoder(self.config, self.params)
        names = dict(self.model.named_parameters())
        plain = [p for name, p in names.items() if "norm" in name or name == "embedding"]
        decayed = [p for name, p in names.items() if not ("norm" in name or name == "embedding")]
        self.optimiser = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": 1e-4}, {"params": plain, "weight_decay": 0.0}],
            lr=self.learning_rate, betas=(0.9, 0.95), fused=True,
        )  # fmt: skip
        self.loss = torch.compile(self._loss) if self.compiled else self._loss

    def _loss(self, tokens, segments):
        same = segments[:, :, None] == segments[:, None, :]
        visible = (same & torch.ones(same.shape[1:], dtype=torch.bool).tril())[:, None]
        logits = self.model(tokens, visible)[:, :-1]
        mask = (segments[:, 1:] == segments[:, :-1]) & (segments[:, 1:] > 0)
        weights = mask / mask.sum().clamp(min=1)
        normaliser = logits.logsumexp(-1)
        chosen = logits.gather(-1, tokens[:, 1:, None])[..., 0]
        entropy = (weights * (normaliser - chosen)).sum()
        return entropy + 1e-4 * (weights * normaliser.square()).sum(), entropy

    def steps(self, tokens, segments) -> np.ndarray:
        """Train on a chunk `[steps, rows, seq_len]` of int64; the cross-entropy of every step."""
        losses = []
        for some, where in zip(tokens, segments, strict=True):
            total, entropy = self.loss(some, where)
            total.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimiser.step()
            self.optimiser.zero_grad(set_to_none=True)
            losses.append(entropy.detach())
        return torch.stack(losses).numpy()
