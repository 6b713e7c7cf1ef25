// A small app around the client of Base44's own template, which the test puts beside it.
import { base44 } from "@/api/base44Client";
import { appParams } from "@/lib/app-params";

const on = (id, action) => document.getElementById(id).addEventListener("click", action);
on("sign-in", () => base44.auth.redirectToLogin());
on("google", () => base44.auth.loginWithProvider("google", location.pathname));
on("sign-out", () => base44.auth.logout());
on("leave", () => base44.auth.logout(new URL("goodbye", location.href).href));

window.base44 = base44; // for tests
await base44.app.getPublicSettings();
await base44.appLogs.logUserInApp("lists");
const user = appParams.token ? await base44.auth.me() : null;
document.getElementById("who").textContent = user ? user.email : "nobody";
