import base44 from "@base44/vite-plugin";
import { defineConfig } from "vite";

export default defineConfig({
  plugins: [base44({ analyticsTracker: true })],
  base: "/sites/calendar/",
  build: { target: "es2022" },
});
