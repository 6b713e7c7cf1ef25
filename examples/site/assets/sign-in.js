// Signs in with the platform, and gives the token to the session view: from then on a sealed cookie says who it is.
const form = document.querySelector("form[data-login]");
const { startSession } = await import(form.dataset.script);

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const status = document.querySelector("[role=status]");
  try {
    // What the Base44 client's loginViaEmailPassword sends.
    const answer = await fetch(form.dataset.login, {
      method: "POST", headers: { "Content-Type": "application/json" },
      body: JSON.stringify(Object.fromEntries(new FormData(form))),
    });
    const { access_token: token, detail } = await answer.json();
    if (!answer.ok) throw new Error(detail);
    await startSession(token);
    const next = new URL(new URLSearchParams(location.search).get("next") ?? "/", location.href);
    location.assign(next.origin === location.origin ? next : "/");
  } catch (error) {
    status.textContent = error.message;
  }
});
form.hidden = false; // before, it would send the password who knows where
