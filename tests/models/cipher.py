"""Makes a translation model that writes for each piece of its source another one, and says what PyPI's packages make
of texts with it: `cipher.py FOLDER KIND WITH_END PAIRS TEXTS`, all but the folder in JSON. A pair is a list of two
language tokens, or empty for a model that knows none and has a SentencePiece vocabulary a language."""

import json
import pathlib
import sys

import ctranslate2
import numpy
import sentencepiece

folder, kind, with_end, pairs, texts = pathlib.Path(sys.argv[1]), *map(json.loads, sys.argv[2:])
POSITIONS = 384


def trained(name, language):
    sentencepiece.SentencePieceTrainer.train(
        input=f"tests/media/lecture-{language}.txt",
        model_prefix=folder / "trained",
        model_type=kind,
        vocab_size=150,
        minloglevel=2,
    )
    (folder / "trained.model").rename(folder / name)
    return sentencepiece.SentencePieceProcessor(model_file=str(folder / name))


if pairs[0]:
    source = target = trained("sentencepiece.bpe.model", "en")
else:
    source, target = trained("source.spm", "en"), trained("target.spm", "pt")
special = ["<s>", "</s>", "<unk>", *sorted({token for pair in pairs for token in pair})]
first, count = len(special), len(special) + len(source) - 3
hidden = count + POSITIONS


def vocabulary(pieces):
    return special + [pieces.id_to_piece(number) for number in range(3, len(pieces))]


def matrix(rows, *ones):
    filled = numpy.zeros((rows, hidden), dtype="float32")
    for row, column, value in ones:
        filled[row, column] = value
    return filled


# A state holds its token in the first dimensions, its place in those behind. What is written at a place is what the
# source has there, so attention goes by place and hands on tokens. The token of a language to write drowns the place
# behind it with a piece of its own.
places = [(place, count + place, 1) for place in range(POSITIONS)]
tokens = [(token, token, 1) for token in range(count)]
drowned = [(token, first + token, 30) for token in range(3, first)]
shifted = [(token if token < first else first + (token - first + 7) % (count - first), token, 1) for token, *_ in tokens]
by_place = [(count + place, count + place, 10) for place in range(POSITIONS)]
values = [(hidden + token, token, 1) for token in range(count)]
handed_on = [(token, token, 0.4) for token in range(count)]
weights = {
    "embeddings": matrix(count, *tokens, *drowned),
    "embeddings_0": matrix(count, *tokens),
    "projection": matrix(count, *shifted),
    "attention/linear_0": matrix(hidden, *by_place),
    "attention/linear_1": matrix(2 * hidden, *by_place, *values),
    "attention/linear_2": matrix(hidden, *handed_on),
    "self_attention/linear_0": matrix(3 * hidden),
}


def weigh(layer, name, value):
    outer, inner, what = ["", *name.split("/")][-3:]
    if what in ("gamma", "beta"):
        setattr(layer, what, numpy.full(hidden, what == "gamma", dtype="float32"))
    elif what == "encodings":
        layer.encodings = matrix(POSITIONS, *places)
    elif value is None:
        setattr(layer, what, weights.get(f"{outer}/{inner}", weights.get(inner, matrix(hidden))))


spec = ctranslate2.specs.TransformerSpec.from_config(1, 1)
ctranslate2.specs.model_spec.visit_spec(spec, weigh)
spec.encoder.scale_embeddings = spec.decoder.scale_embeddings = False
spec.register_source_vocabulary(vocabulary(source))
spec.register_target_vocabulary(vocabulary(target))
spec.config.add_source_eos = not with_end
spec.validate()
spec.save(str(folder))
model = ctranslate2.Translator(str(folder), device="cpu", compute_type="int8", intra_threads=1)
for pair in pairs:
    for text in texts:
        asked = [*pair[:1], *source.encode(text, out_type=str), *["</s>"][: int(with_end)]]
        found = model.translate_batch([asked], target_prefix=[pair[1:]], beam_size=2, max_decoding_length=2 * len(asked) + 16)[0].hypotheses[0]
        print(target.decode([token for token in found if token not in special]))
