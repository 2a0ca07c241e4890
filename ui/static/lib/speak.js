// Says something to those who hear the page instead of seeing it. What is seen has words of its own.
const region = document.createElement("div");
region.className = "saft-heard";
region.setAttribute("role", "status");
region.setAttribute("aria-live", "polite");
document.body.append(region);

export function speak(text) {
  region.textContent = "";
  setTimeout(() => (region.textContent = text), 50); // the same words twice are said twice
}
