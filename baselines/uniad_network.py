"""The transformer of UniAD: neighbour-masked attention, and a learned query for each decoder layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def neighbour_mask(rows: int, reach: int) -> Tensor:
    """Return (rows², rows²) bool, True within ``reach`` rows and columns of a token, itself included."""
    row, column = torch.arange(rows * rows) // rows, torch.arange(rows * rows) % rows
    near_row = (row[:, None] - row).abs() <= reach
    return near_row & ((column[:, None] - column).abs() <= reach)


class PositionEmbedding(nn.Module):
    """A learned vector for each row and each column."""

    def __init__(self, rows: int, width: int) -> None:
        super().__init__()
        self.row = nn.Parameter(torch.rand(rows, width // 2))
        self.column = nn.Parameter(torch.rand(rows, width // 2))

    def forward(self) -> Tensor:
        """Return the embeddings of all tokens (rows², width)."""
        rows = len(self.row)
        columns = self.column.repeat(rows, 1)
        return torch.cat([columns, self.row.repeat_interleave(rows, dim=0)], dim=1)


class EncoderLayer(nn.Module):
    """Self-attention and a feed-forward layer, with residual connections and post-normalisation."""

    def __init__(self, width: int, heads: int, feedforward: int, dropout: float) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads, dropout, batch_first=True)
        self.forwards = Feedforward(width, feedforward, dropout)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, places: Tensor, mask: Tensor) -> Tensor:
        """Map tokens (N, tokens, width) to the same shape; position embeddings are added to queries and keys."""
        keys = tokens + places
        attended = self.attention(keys, keys, tokens, attn_mask=mask, need_weights=False)[0]
        return self.forwards(self.norm(tokens + self.dropout(attended)))


class Feedforward(nn.Module):
    """Two linear layers, with a residual connection and post-normalisation."""

    def __init__(self, width: int, feedforward: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(width, feedforward),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(feedforward, width),
            nn.Dropout(dropout),
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens (N, tokens, width) to the same shape."""
        return self.norm(tokens + self.layers(tokens))


class DecoderLayer(nn.Module):
    """A learned query attends to the encoder's memory, and the result to the previous layer's output."""

    def __init__(self, tokens: int, width: int, heads: int, feedforward: int, dropout: float) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.randn(tokens, width))
        self.to_memory = nn.MultiheadAttention(width, heads, dropout, batch_first=True)
        self.to_previous = nn.MultiheadAttention(width, heads, dropout, batch_first=True)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.forwards = Feedforward(width, feedforward, dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(self, previous: Tensor, memory: Tensor, places: Tensor, mask: Tensor) -> Tensor:
        """Map the previous layer's output and the memory, both (N, tokens, width), to the same shape."""
        query = self.query.expand(len(memory), -1, -1)
        attended = self.to_memory(query + places, memory + places, memory, attn_mask=mask, need_weights=False)[0]
        values = self.norms[0](query + self.dropout(attended))
        attended = self.to_previous(values + places, previous + places, previous, attn_mask=mask, need_weights=False)[0]
        return self.forwards(self.norms[1](values + self.dropout(attended)))


class FeatureTransformer(nn.Module):
    """Reconstructs tokens from their surroundings.

    Args:
        channels: of the tokens.
        rows: rows of tokens, as many as columns.
        width, layers, heads, feedforward, dropout: of the transformer.
    """

    mask: Tensor

    def __init__(
        self, channels: int, rows: int, width: int, layers: int, heads: int, feedforward: int, dropout: float
    ) -> None:
        super().__init__()
        self.enter, self.leave = nn.Linear(channels, width), nn.Linear(width, channels)
        self.places = PositionEmbedding(rows, width)
        self.encoder = nn.ModuleList(EncoderLayer(width, heads, feedforward, dropout) for _ in range(layers))
        self.decoder = nn.ModuleList(
            DecoderLayer(rows * rows, width, heads, feedforward, dropout) for _ in range(layers)
        )
        self.register_buffer("mask", torch.zeros(rows * rows, rows * rows, dtype=torch.bool), persistent=False)

    def mask_neighbours(self, reach: int) -> None:
        """Mask the tokens within ``reach`` rows and columns of each one, unless that masks all."""
        mask = neighbour_mask(round(len(self.mask) ** 0.5), reach)
        mask[mask.all(1)] = False  # an image so small that all would be masked
        self.mask = mask.to(self.mask.device)

    def forward(self, tokens: Tensor) -> Tensor:
        """Reconstruct tokens (N, rows², channels)."""
        places = self.places()
        memory = self.enter(tokens)
        for layer in self.encoder:
            memory = layer(memory, places, self.mask)
        values = memory
        for layer in self.decoder:
            values = layer(values, memory, places, self.mask)
        return self.leave(values)
