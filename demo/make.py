#!/usr/bin/env python3
"""Draws and encodes the bundled demo lectures.

    python3 -m venv /tmp/demo && /tmp/demo/bin/pip install pillow
    apt-get install ffmpeg fonts-dejavu fonts-noto-cjk
    /tmp/demo/bin/python demo/make.py

Both files loop without a seam: a length that is a multiple of 8 s holds whole 2 s GOPs and whole
AAC frames (8 s is 375 frames of 1024 samples at 48 kHz), and the audio is encoded as a loop and
cut on a frame, so no encoder delay shifts it against the picture.
"""

import math
import subprocess
import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

HERE = Path(__file__).resolve().parent
MEDIA = HERE.parent / "tests" / "media"
WIDTH, HEIGHT, FPS = 1280, 720, 30

DEJAVU = "/usr/share/fonts/truetype/dejavu/DejaVuSans{}.ttf"
CJK = "/usr/share/fonts/opentype/noto/NotoSansCJK-{}.ttc"

PAPER = (250, 250, 247)
INK = (27, 38, 59)
SOFT = (92, 104, 124)
RULE = (219, 222, 226)
BLUE = (0, 92, 169)
RED = (200, 62, 48)
GREEN = (20, 122, 92)

# The figure stands right of the text; the lowest fifth stays free for captions.
FIG_X, FIG_Y, FIG_W, FIG_H = 700, 176, 508, 376
SCALE = 2


def font(size, weight="", cjk=False):
    """A face by size and weight ("", "-Bold"); `cjk` takes the one with Hangul."""
    if cjk:
        return ImageFont.truetype(CJK.format("Bold" if weight else "Regular"), size, index=1)
    return ImageFont.truetype(DEJAVU.format(weight), size)


# ---------------------------------------------------------------- figures
# Each draws on a canvas of FIG_W x FIG_H at SCALE, `t` seconds into the lecture.


class Canvas:
    """The figure's area, drawn larger and reduced so that lines are smooth."""

    def __init__(self):
        self.image = Image.new("RGB", (FIG_W * SCALE, FIG_H * SCALE), PAPER)
        self.draw = ImageDraw.Draw(self.image)

    def line(self, points, colour, width=3):
        self.draw.line([(x * SCALE, y * SCALE) for x, y in points], colour, width * SCALE, "curve")

    def dot(self, x, y, r, colour):
        self.draw.ellipse([(x - r) * SCALE, (y - r) * SCALE, (x + r) * SCALE, (y + r) * SCALE], colour)

    def text(self, x, y, text, colour=SOFT, size=20, weight="", anchor="mm"):
        self.draw.text((x * SCALE, y * SCALE), text, colour, font(size * SCALE, weight), anchor)

    def wave(self, y, amplitude, wavelength, phase, colour, width=3, x0=0, x1=FIG_W):
        step = 3
        points = [
            (x, y - amplitude * math.sin(2 * math.pi * (x - x0) / wavelength - phase))
            for x in range(x0, x1 + 1, step)
        ]
        self.line(points, colour, width)

    def arrow(self, a, b, colour=INK, width=2):
        """A line with a head at both ends."""
        self.line([a, b], colour, width)
        angle = math.atan2(b[1] - a[1], b[0] - a[0])
        for (x, y), back in ((b, math.pi), (a, 0)):
            for side in (-0.45, 0.45):
                tip = (x + 11 * math.cos(angle + back + side), y + 11 * math.sin(angle + back + side))
                self.line([(x, y), tip], colour, width)

    def axis(self, y):
        self.line([(0, y), (FIG_W, y)], RULE, 2)

    def done(self):
        return self.image.reduce(SCALE)


def travelling(c, t):
    c.axis(188)
    c.wave(188, 84, 254, t * 2.2, BLUE, 5)


def particles(c, t):
    c.axis(188)
    for i in range(25):
        x = 14 + i * 20
        y = 188 - 78 * math.sin(2 * math.pi * x / 300 - t * 1.8)
        marked = i == 12
        if marked:
            c.line([(x, 104), (x, 272)], (240, 196, 190), 3)
        c.dot(x, y, 9 if marked else 5, RED if marked else BLUE)
    c.text(254, 320, "Each point only moves up and down", SOFT, 20)


def measured(c, t):
    c.axis(200)
    phase = t * 1.2
    c.wave(200, 80, 220, phase, BLUE, 5)
    first = ((phase + math.pi / 2) / (2 * math.pi) * 220) % 220
    if t >= 30.5:
        c.arrow((first, 92), (first + 220, 92), RED, 3)
        c.text(first + 110, 70, "λ", RED, 30, "-Bold")
    if t >= 37.7:
        c.arrow((first + 220, 200), (first + 220, 122), GREEN, 3)
        c.text(first + 242, 162, "A", GREEN, 28, "-Bold")
    if t >= 33.8:
        c.line([(6, 300), (6, 340)], INK, 3)
        beats = phase / (2 * math.pi)
        c.text(20, 320, f"crests passed: {int(beats - 33.8 * 1.2 / (2 * math.pi))}", INK, 22, "", "lm")


def speed(c, t):
    # 2 m is 240 px, three crests a second would blur: shown at a sixth of the speed.
    c.axis(170)
    phase = 2 * math.pi * 0.5 * t
    c.wave(170, 66, 240, phase, BLUE, 5)
    crest = (t * 120) % 240 + 60
    c.dot(crest % FIG_W, 104, 9, RED)
    c.dot((crest + 240) % FIG_W, 104, 9, RED)
    c.arrow((14, 290), (254, 290), INK, 2)
    c.text(134, 316, "2 m", INK, 22, "-Bold")
    c.text(490, 316, "shown six times slower", SOFT, 18, "", "rm")


def race(c, t):
    lanes = [("Air", 1.0, "340 m/s", SOFT, 57.9), ("Water", 4.35, "1 480 m/s", BLUE, 62.6),
             ("Steel", 17.3, "5 900 m/s", GREEN, 64.9), ("Light", None, "300 000 km/s", RED, 67.5)]
    for i, (name, factor, label, colour, since) in enumerate(lanes):
        y = 52 + i * 92
        c.line([(0, y + 22), (FIG_W, y + 22)], RULE, 2)
        if t < since:
            continue
        c.text(0, y - 22, name, INK, 22, "-Bold", "lm")
        c.text(FIG_W, y - 22, label, colour, 22, "", "rm")
        if factor is None:
            c.line([(0, y + 22), (FIG_W, y + 22)], colour, 4)
        else:
            x = ((t - since) * 24 * factor) % (FIG_W - 16) + 8
            c.dot(x, y + 22, 9, colour)


def addition(c, t):
    # Slowly in step until the trough is mentioned, then half a wavelength apart.
    shift = 0 if t < 82.7 else math.pi * min(1, (t - 82.7) / 0.9)
    phase = t * 2
    for y, offset, colour, mark in ((62, 0, BLUE, ""), (168, shift, GREEN, "+"), (300, None, RED, "=")):
        c.axis(y)
        c.text(10, y - 34 if mark else y, mark, INK, 30, "-Bold")
        if offset is not None:
            c.wave(y, 34, 200, phase + offset, colour, 4, 30)
        else:
            gain = 34 * 2 * abs(math.cos(shift / 2))
            c.wave(y, gain, 200, phase + shift / 2, colour, 5, 30)


def headphones(c, t):
    def noise(x):
        u = x / 508 * 2 * math.pi
        return 20 * math.sin(4 * u - t * 5) + 12 * math.sin(9 * u + t * 3.1) + 7 * math.sin(15 * u - t * 7)

    active = 0 if t < 94 else min(1, (t - 94) / 1.2)
    rows = ((62, "Noise", 1, SOFT), (180, "Headphones", -active, BLUE), (298, "You hear", 1 - active, RED))
    for y, name, gain, colour in rows:
        c.axis(y)
        c.line([(x, y - gain * noise(x)) for x in range(0, FIG_W + 1, 3)], colour, 4)
        c.text(0, y - 52, name, INK, 19, "-Bold", "lm")


def rope(c, t):
    harmonic, rate = (1, 3.2) if t < 109.5 else (3, 8)
    swing = 96 * math.sin(t * rate)
    c.line([(500, 96), (500, 280)], INK, 8)
    c.line([(x, 188 - swing * math.sin(math.pi * harmonic * x / 496)) for x in range(0, 497, 4)], BLUE, 6)
    for i in range(harmonic + 1):
        c.dot(496 * i / harmonic, 188, 8, RED)
    c.text(250, 336, "Red points do not move", SOFT, 20)


# ---------------------------------------------------------------- slides
# (start, title, [(time, text, style)], figure); times are those of tests/media/lecture-en.json.

LECTURE = [
    (0.0, "Waves", [
        (0.0, "An introduction", "lead"),
        (6.32, "What is a wave?", "number"),
        (7.9, "How fast does it travel?", "number"),
        (9.3, "Why do two waves sometimes\ncancel each other?", "number")], travelling),
    (11.94, "What is a wave?", [
        (14.29, "A disturbance that moves\nthrough a material …", "bullet"),
        (16.6, "… without carrying the\nmaterial with it", "bullet"),
        (19.25, "A stone in a pond: the water\ngoes up and down", "bullet"),
        (25.3, "Only the shape travels", "strong")], particles),
    (27.95, "Three numbers", [
        (30.53, "Wavelength λ", "strong"),
        (30.9, "distance between two crests", "sub"),
        (33.77, "Frequency f", "strong"),
        (34.2, "crests that pass in one second", "sub"),
        (37.74, "Amplitude A", "strong"),
        (38.1, "height above the resting surface", "sub")], measured),
    (41.78, "How fast does it travel?", [
        (43.85, "v  =  λ × f", "formula"),
        (47.78, "Wavelength: 2 meters", "bullet"),
        (49.6, "Frequency: 3 crests per second", "bullet"),
        (51.9, "Speed: 6 meters per second", "strong"),
        (54.57, "Exam", "badge")], speed),
    (57.9, "Speed depends on the material", [
        (57.9, "Sound in air: about 340 m/s", "bullet"),
        (62.6, "In water: more than four\ntimes faster", "bullet"),
        (64.9, "In steel: faster still", "bullet"),
        (67.57, "Light arrives first: lightning,\nthen thunder", "strong")], race),
    (72.62, "When two waves meet", [
        (75.71, "They add together", "strong"),
        (78.61, "Crest + crest:\na larger crest", "bullet"),
        (83.15, "Crest + trough:\na flat surface", "bullet"),
        (88.09, "Interference", "badge")], addition),
    (90.11, "Silence from two sounds", [
        (90.11, "Headphones against the\nnoise of an airplane", "bullet"),
        (94.07, "They listen, and play the same\nwave upside down", "bullet"),
        (98.49, "The two waves cancel", "strong")], headphones),
    (101.52, "An experiment for next week", [
        (105.23, "Fix one end of a long rope\nto a wall", "number"),
        (107.6, "Shake the other end slowly", "number"),
        (109.74, "Then faster: count the points\nthat do not move", "number"),
        (114.13, "Results on Tuesday", "badge")], rope),
    (116.78, "Thank you", [
        (116.78, "for your attention", "lead"),
        (117.9, "Have a good day", "bullet")], travelling),
]

KOREAN = [
    (0.0, "실시간 한국어 자막", [
        (0.0, "음성 인식 시연", "lead"),
        (0.0, "말하는 동안 자막이 나타납니다", "bullet"),
        (0.0, "번역과 녹화도 함께", "bullet")], travelling),
]


class Deck:
    """Slides whose text appears point by point, with a figure that moves."""

    def __init__(self, slides, course, length, cjk):
        self.slides, self.course, self.length, self.cjk = slides, course, length, cjk
        self.key, self.base = None, None

    def frame(self, t):
        """The picture `t` seconds in."""
        index = max(i for i, s in enumerate(self.slides) if s[0] <= t)
        _, title, points, figure = self.slides[index]
        shown = [p for p in points if p[0] <= t]
        if (index, len(shown)) != self.key:
            self.key, self.base = (index, len(shown)), self.text(index, title, shown)
        image = self.base.copy()
        canvas = Canvas()
        figure(canvas, t)
        image.paste(canvas.done(), (FIG_X, FIG_Y))
        draw = ImageDraw.Draw(image)
        draw.rectangle([0, 714, int(WIDTH * t / self.length), 720], BLUE)
        clock = f"{int(t) // 60}:{int(t) % 60:02}"
        draw.text((1208, 52), clock, SOFT, font(22), "rm")
        return image

    def text(self, index, title, points):
        image = Image.new("RGB", (WIDTH, HEIGHT), PAPER)
        draw = ImageDraw.Draw(image)
        draw.rectangle([0, 0, WIDTH, 8], BLUE)
        draw.rectangle([0, 714, WIDTH, 720], RULE)
        draw.text((72, 52), self.course, SOFT, font(20, "", self.cjk), "lm")
        draw.text((72, 116), title, INK, font(48, "-Bold", self.cjk), "lm")
        draw.line([(72, 156), (1208, 156)], RULE, 2)
        if len(self.slides) > 1:
            draw.text((1130, 52), f"{index + 1} / {len(self.slides)}", SOFT, font(20), "rm")
        y, number = 196, 0
        for _, text, style in points:
            if style == "number":
                number += 1
            y = self.point(draw, y, text, style, number)
        return image

    def point(self, draw, y, text, style, number):
        x, size, weight, colour, after = 72, 28, "", INK, 26
        if style == "lead":
            size, colour, after = 32, SOFT, 34
        elif style == "number":
            draw.ellipse([72, y, 108, y + 36], BLUE)
            draw.text((90, y + 18), str(number), PAPER, font(22, "-Bold"), "mm")
            x = 128
        elif style == "bullet":
            draw.ellipse([74, y + 12, 86, y + 24], BLUE)
            x = 106
        elif style == "strong":
            weight, colour, after = "-Bold", BLUE, 16
        elif style == "sub":
            size, colour, after = 24, SOFT, 26
        elif style == "formula":
            size, weight, after = 46, "-Bold", 40
        elif style == "badge":
            face = font(26, "-Bold", self.cjk)
            width = draw.textlength(text, face)
            draw.rounded_rectangle([72, y + 6, 72 + width + 44, y + 58], 26, RED)
            draw.text((94, y + 32), text, PAPER, face, "lm")
            return y + 76
        face = font(size, weight, self.cjk)
        draw.multiline_text((x, y), text, colour, face, spacing=8)
        bottom = draw.multiline_textbbox((x, y), text, face, spacing=8)[3]
        return max(bottom, y + size) + after


def encode(deck, audio, target):
    """Pipes the frames through x264 and joins them with the looped audio."""
    length = deck.length
    picture, sound = target.with_suffix(".picture.mkv"), target.with_suffix(".sound.m4a")
    quiet = ["ffmpeg", "-v", "error", "-y"]
    # Three rounds of the loop: the middle one has its true neighbours on both sides.
    subprocess.run(
        quiet + ["-i", audio, "-filter_complex",
                 f"aresample=48000,apad,atrim=end_sample={length * 48000},asetpts=N/SR/TB,"
                 f"aloop=loop=2:size={length * 48000}",
                 "-ac", "1", "-c:a", "aac", "-b:a", "96k", sound], check=True)
    video = subprocess.Popen(
        quiet + ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{WIDTH}x{HEIGHT}", "-r", str(FPS), "-i", "-",
                 "-vf", "scale=out_color_matrix=bt709:out_range=tv", "-c:v", "libx264", "-profile:v", "high",
                 "-pix_fmt", "yuv420p", "-preset", "slow", "-tune", "animation", "-crf", "24", "-maxrate", "900k",
                 "-bufsize", "1800k", "-bf", "0", "-g", "60", "-keyint_min", "60", "-sc_threshold", "0",
                 "-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", picture],
        stdin=subprocess.PIPE)
    for n in range(length * FPS):
        video.stdin.write(deck.frame(n / FPS).tobytes())
    video.stdin.close()
    if video.wait() != 0:
        sys.exit("the picture could not be encoded")
    subprocess.run(
        quiet + ["-i", picture, "-ss", str(length), "-i", sound, "-map", "0:v", "-map", "1:a", "-c", "copy",
                 "-frames:a", str(length * 48000 // 1024), "-flvflags", "no_duration_filesize", target], check=True)
    picture.unlink()
    sound.unlink()


def main():
    if sys.argv[1:2] == ["--still"]:
        Deck(LECTURE, "PHYSICS 1  ·  Lecture 4", 120, False).frame(float(sys.argv[2])).save(sys.argv[3])
        return
    encode(Deck(LECTURE, "PHYSICS 1  ·  Lecture 4", 120, False), MEDIA / "lecture-en.opus", HERE / "lecture-en.flv")
    encode(Deck(KOREAN, "Amphi  ·  한국어", 16, True), MEDIA / "korean-espeak.flac", HERE / "korean.flv")


if __name__ == "__main__":
    main()
