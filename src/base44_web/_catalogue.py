"""The services behind connectors, by integration type, as people know them; the list of the reference client's docs."""

from __future__ import annotations

from typing import Final

from .settings import Settings

SERVICES: Final = {
    "airtable": "Airtable",
    "bamboohr": "BambooHR",
    "box": "Box",
    "calendly": "Calendly",
    "clickup": "ClickUp",
    "contentful": "Contentful",
    "databricks": "Databricks",
    "discord": "Discord",
    "dropbox": "Dropbox",
    "github": "GitHub",
    "gitlab": "GitLab",
    "gmail": "Gmail",
    "google_analytics": "Google Analytics",
    "google_classroom": "Google Classroom",
    "google_search_console": "Google Search Console",
    "googleads": "Google Ads",
    "googlebigquery": "Google BigQuery",
    "googlecalendar": "Google Calendar",
    "googledocs": "Google Docs",
    "googledrive": "Google Drive",
    "googlemeet": "Google Meet",
    "googlesheets": "Google Sheets",
    "googleslides": "Google Slides",
    "googletasks": "Google Tasks",
    "hubspot": "HubSpot",
    "hugging_face": "Hugging Face",
    "instagram": "Instagram Business",
    "linear": "Linear",
    "linkedin": "LinkedIn",
    "microsoft_teams": "Microsoft Teams",
    "notion": "Notion",
    "one_drive": "Microsoft OneDrive",
    "outlook": "Outlook",
    "quickbooks": "QuickBooks",
    "salesforce": "Salesforce",
    "share_point": "SharePoint",
    "slack": "Slack User",
    "slackbot": "Slack Bot",
    "snowflake": "Snowflake",
    "splitwise": "Splitwise",
    "square": "Square",
    "supabase": "Supabase",
    "tiktok": "TikTok",
    "typeform": "Typeform",
    "wix": "Wix",
    "wrike": "Wrike",
    "x": "X",
}


def service_name(settings: Settings, connector: str) -> str:
    """What the pages call the service behind a named connector: by its type in `connector_types`, else by its name."""
    type_ = settings.connector_types.get(connector, connector)
    return SERVICES.get(type_, type_)
