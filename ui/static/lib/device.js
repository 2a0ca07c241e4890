// What the visitor's device is like.
import { useEffect, useState } from "./preact.js";

// Fingers drop and paste nothing.
export const is_touch = () => matchMedia("(pointer: coarse)").matches;

// Whether a media query holds, drawn anew when that changes.
export function useMedia(query) {
  const [holds, setHolds] = useState(matchMedia(query).matches);
  useEffect(() => {
    const media = matchMedia(query);
    const tell = () => setHolds(media.matches);
    tell();
    media.addEventListener("change", tell);
    return () => media.removeEventListener("change", tell);
  }, [query]);
  return holds;
}
