// Imported before video.js: keeps it from writing <style> elements, which the pages' content
// security policy refuses. The style sheet of the page does that work.
(window as unknown as Record<string, boolean>).VIDEOJS_NO_DYNAMIC_STYLE = true;

export {};
