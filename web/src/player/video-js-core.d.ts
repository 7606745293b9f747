// The part of video.js that these pages use; its own declarations describe the full build.
declare module 'video.js/core' {
  export interface Player {
    el(): HTMLElement;
    play(): Promise<void> | undefined;
    pause(): void;
    paused(): boolean;
    muted(): boolean;
    muted(value: boolean): void;
    volume(): number;
    volume(value: number): void;
    duration(): number;
    currentTime(): number;
    currentTime(seconds: number): void;
    playbackRate(): number;
    playbackRate(rate: number): void;
    poster(url: string): void;
    currentSrc: () => string;
    isFullscreen(): boolean;
    requestFullscreen(): void;
    exitFullscreen(): void;
    addClass(name: string): void;
    removeClass(name: string): void;
    on(event: string | string[], listener: () => void): void;
    dispose(): void;
  }

  interface VideoJs {
    (element: Element, options: Record<string, unknown>): Player;
    addLanguage(tag: string, messages: Record<string, string>): void;
  }

  const videojs: VideoJs;
  export default videojs;
}
